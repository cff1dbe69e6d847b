"""Train one model across clients that never share their text. Nothing works here yet."""
