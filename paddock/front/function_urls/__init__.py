"""What answers at function URLs (spec 03 section 8, 04 section 3, 06 section 2).

host.py      which URL a request is for
door.py      the steps of a request: CORS, who may, the event, the invocation, the answer
admission.py who may: signature, resource policy
event.py     the event, in payload format 2.0
answer.py    from a function's result to an HTTP response
cors.py      preflights, and what CORS adds to answers
"""

from paddock.front.function_urls.door import FunctionUrls

__all__ = ["FunctionUrls"]
