"""Files compressed and decompressed by external programs while they are read or written."""
