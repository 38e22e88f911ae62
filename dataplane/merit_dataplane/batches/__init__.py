"""`/v1/files` and `/v1/batches`: passed on to one provider, whose batch prices are in the accounts (docs/adr/0019).

    form, jsonl   what a client uploads, read in pieces of any size
    requests      the lines of a batch's file: checked, and written anew for the provider
    choice        which provider gets a file
    id_key, ids   names of what providers keep, as one consumer knows them
    labels        what a provider keeps beside it for us: whose it is, what it was expected to cost
    shelf         one provider's files and batches, over HTTP
    files, jobs   the endpoints
    output        usage of a batch that has ended, line by line
    booking       … into metrics, usage log and budgets, once
    marks         what has been booked
    watch         batches that nobody asks for any more

Nothing is stored here: what a pod has to know again stands in the ids, in names of files and in metadata of batches.
"""
