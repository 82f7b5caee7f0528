"""What the scan of shell code raises: classes of these names, for those who catch them."""
