"""OpenAI's moderations, images and audio: requests with the model's name exchanged, answers as they are.

Pure: bytes to bytes. What an answer says of usage is read on the side; nothing of it is changed.
"""
