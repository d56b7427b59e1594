"""The studio's page and HTTP API: forms, HTML, access control."""
