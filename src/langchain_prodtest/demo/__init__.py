"""The reference service: a LangChain agent behind FastAPI, with its defects; see `service`."""
