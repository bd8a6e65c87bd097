"""What a cell left behind: its schema (`record`), the sealed files (`store`), where it was
obtained (`provenance`), and the tables read from it (`tables`)."""
