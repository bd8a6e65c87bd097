"""The site of published results: an overview, the claims, and a page for every suite, method and cell.

Nothing on it is loaded from elsewhere, so that it can be read from a disk and put on any web server.
"""
