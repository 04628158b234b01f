"""A ranker behind the retriever of a LangChain application."""

# %% The application as it is: any retriever. This one returns everything, worst first
import os

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda

import rankrag
from rankrag.integrations.langchain import RankRAGCompressor

MODEL = os.environ.get("RANKRAG_MODEL", "rankrag-135m")
TEXTS = ["Tea is green.", "Many cats have a house.", "A cat has eighteen toes."]


class YourRetriever(BaseRetriever):
    """Stands for the retriever that the application has."""

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
    ) -> list[Document]:
        del query, run_manager
        return [Document(page_content=text) for text in TEXTS]


# %% The ranker behind it: retrieve many, keep the best
ranker = RankRAGCompressor(rag=rankrag.load(model=MODEL), top_n=2)
retriever = YourRetriever()
ranked = RunnableLambda(lambda question: ranker.compress_documents(retriever.invoke(question), question))

# %% What changed
question = "How many toes does a cat have?"
print("before:", [document.page_content for document in retriever.invoke(question)])
for document in ranked.invoke(question):
    print(f"{document.metadata['relevance_score']:.3f}", document.page_content)
