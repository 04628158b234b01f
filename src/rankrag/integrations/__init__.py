"""Parts for other libraries, a module for each: `langchain`, `llama_index`, `haystack`.

Each module imports its library, so import the one that you use.
"""
