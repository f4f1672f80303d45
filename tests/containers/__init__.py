"""The containers as they are deployed: built, started, replaced and upgraded by the documents' own commands."""
