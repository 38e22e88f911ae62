"""The stages of a request that do more than decide. `request_path.py` names them in their order."""
