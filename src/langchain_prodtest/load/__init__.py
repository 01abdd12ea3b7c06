"""Load: Locust users, open arrivals, a stream client and the judgement of what it saw.

Only `users`, `hooks` and `session` import Locust, which monkey-patches its process; the others run anywhere.
"""
