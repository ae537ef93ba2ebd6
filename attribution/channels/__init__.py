"""Channels (渠道): one module per form in which orders are delivered, each turning a body into purchases."""
