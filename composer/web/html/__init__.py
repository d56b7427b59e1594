"""HTML of the studio's page, one module a part of it."""
