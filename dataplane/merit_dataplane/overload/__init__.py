"""What happens when more comes than this pod can do: consumers take turns, what would wait too long is told so.

turns    who may begin while the event loop is late; a queue per consumer, all of them bounded
bodies   how many bytes of request bodies are held at once
"""
