"""What users see of their resources: made from compile's word and the pods' answers, written when it changes."""
