"""Paddock: a self-hosted serverless compute service that speaks AWS Lambda's own API."""

__version__ = "0.1.0"
