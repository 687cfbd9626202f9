"""The web page of `advnets lab`: watch runs, walk through their noise, fill in, encode, play figure 1, compare.

serve.py serves page.py, which has a class for each tab: watching, exploring, drawing, playing, comparing. shelf.py says
which runs there are and keeps what was loaded of them; widgets.py makes the parts that Gradio has not.
"""
