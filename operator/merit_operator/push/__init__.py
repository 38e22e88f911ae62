"""The push: the newest snapshot to every pod, and what each says to it. One task per pod; no pod waits for another."""
