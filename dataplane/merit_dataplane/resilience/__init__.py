"""What is known of the health of endpoints, and limits of time. State of this pod; outlives snapshots."""
