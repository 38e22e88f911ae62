"""The admin port: push, health, metrics, dumps. Never the data port."""
