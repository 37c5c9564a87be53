"""A rig's backup, a folder: what is in it (contents), how it is made (snapshot, make) and put back (restore)."""
