"""What is known of each endpoint's health, and limits of time. State of this pod; outlives snapshots."""
