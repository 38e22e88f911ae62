"""OpenAI's Responses in and out, for models that have the capability `Responses`.

The provider gets the client's own request, with the model's name, `store: false`, and without thoughts that nobody
could read: those that Merit sealed for another vendor, and those that only a store would know. Its answer rides beside
its translation (`passenger`).
"""
