"""What commands share: parsing, help, registry, run folders."""
