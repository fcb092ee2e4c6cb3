"""Senders of login codes: Tencent Cloud, Alibaba Cloud, and a signed webhook for any other provider.

`choice.sender` is what the server asks for; `delivery` is what all of them share.
"""
