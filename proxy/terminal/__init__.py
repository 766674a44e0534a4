"""What the commands of the terminal ask of a running gateway, and how they show it.

    commands.py   what is typed: the commands and their options
    client.py     the admin port by HTTP, over TCP or a Unix socket; what to do when it fails
    events.py     server-sent events out of bytes
    fields.py     what an answer holds, whatever it really holds
    printable.py  text of strangers, made harmless
    screen.py     the one way to the terminal: coloured there, plain in a pipe, JSON for scripts
    tap.py, top.py, traces.py, waterfall.py, services.py, stats.py   the commands themselves

Nothing here knows the hub, and rich is imported where something is coloured, so that a command in
a script starts at once.
"""
