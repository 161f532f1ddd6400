"""What only this machine can give: its clock and its randomness."""
