"""Senders of login codes: Tencent Cloud, Alibaba Cloud, and a signed webhook for any other provider.

There is one package for each sender. settings.py chooses one of them, and delivery.py is what all of them share.
"""
