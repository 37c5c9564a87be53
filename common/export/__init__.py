"""Tables of a database as files. What stands where:

pages    rows by pages, in the order of their ids: tables as they stand, samples decoded
writers  CSV, JSON, Parquet: a file under another name until it is whole
run      tables to files, one after the other
"""
