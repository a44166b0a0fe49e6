"""Past posts of users and of their neighbours."""
