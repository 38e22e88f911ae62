"""How much consumers may use: requests and tokens a minute, requests at once, and money a day or a month.

Every pod counts for itself, always. With Redis one script per request decides for all pods together; while there is
none, each pod has its share: the limit, or what is left of the budget as far as it knows, by the number of pods.

    window    what happened in the last 60 seconds
    calendar  which day or month it is where the budget's midnight is
    account   one consumer as this pod knows it
    fleet     the script, what goes into it and what comes out; how many pods there are
    disk      what was spent, over a restart
"""
