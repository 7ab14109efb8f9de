"""Makers of tiny models, one module per family; families with code on the hub get a stand-in of that code."""
