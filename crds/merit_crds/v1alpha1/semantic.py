"""The semantic layer: questions in other words share an answer, if they are as alike as their route says."""

from pydantic import Field

from merit_crds.v1alpha1.fields import Duration, ObjectName, Part, Similarity


class SemanticCache(Part):
    """Questions whose embeddings are alike share answers that `exact` keeps. Some of these answers are to another
    question: docs/semantic.md says how many.
    """

    embeddings: ObjectName = Field(
        description="Name of the ModelRoute of this namespace that makes the embeddings; a candidate of it needs the "
        "capability Embeddings. Its calls are accounted to the consumer that asks."
    )
    similarity: Similarity = Field(
        description="Least cosine similarity of two questions that share an answer. It depends on the embedding model "
        "and on what is asked: measure it."
    )
    timeout: Duration = Field(
        default="200ms",
        description="How long an embedding is waited for, at most; then the request goes on as if there were no "
        "semantic layer; default 200ms.",
    )
