Drydock's stand-in for Adminer is built into php; this file says that it is to be served.
