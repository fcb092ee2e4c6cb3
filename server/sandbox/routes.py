"""The API calls of the sandbox and its cashier page. They exist in development mode only."""

from __future__ import annotations

import base64
import hashlib
import html
from importlib.resources import files
from string import Template
from typing import Annotated

from aiohttp import web
from pydantic import Field

from actors.errors import OrderNotFound
from actors.phones import canonical
from actors.ports import PaymentState
from server.http.body import Body, Line, Query
from server.http.language import Text
from server.http.route import Access, AnyRoute, Call, NoBody, NoQuery, Route, Success
from server.http.times import iso
from server.sandbox.cashier import Cashier
from server.sandbox.inbox import Inbox
from server.sandbox.trades import Trade

_HTML = files("server.sandbox").joinpath("cashier.html").read_text("utf-8")
_PAGE_TEMPLATE = Template(_HTML)


def _style_hash(page: str) -> str:
    """Return the hash by which the policy allows only the page's own style sheet (CSP Level 3, section 2.3.1)."""
    style = page.partition("<style>")[2].partition("</style>")[0]
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


_CONTENT_POLICY = (
    f"default-src 'none'; style-src '{_style_hash(_HTML)}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_STATES = {
    PaymentState.UNPAID: Text("待支付", "Waiting for payment"),
    PaymentState.PAID: Text("支付成功", "Paid"),
    PaymentState.CLOSED: Text("订单已关闭", "Closed"),
    PaymentState.FAILED: Text("支付失败", "Failed"),
}
_CHANNELS = {"wx": Text("微信支付", "WeChat Pay"), "alipay": Text("支付宝", "Alipay")}
_TITLE, _NOTE, _PAY = (
    Text("沙箱收银台", "Sandbox cashier"),
    Text("这是开发用的模拟支付，不会产生真实扣款。", "A simulated payment for development; no money is charged."),
    Text("确认支付", "Pay"),
)


class SmsQuery(Query):
    phone: str


class PayBody(Body):
    orderId: Annotated[Line, Field(max_length=64)]


class SandboxRoutes:
    def __init__(self, inbox: Inbox, cashier: Cashier) -> None:
        self._inbox, self._cashier = inbox, cashier

    def routes(self) -> list[AnyRoute]:
        page = "/sandbox/cashier/{orderId}"
        return [
            Route("GET", "/sandbox/sms", self._list_messages, Access.PUBLIC, query=SmsQuery),
            Route("POST", "/sandbox/pay", self._pay, Access.PUBLIC, PayBody),
            Route("GET", page, self._show_page, Access.PUBLIC),
            Route("POST", page, self._pay_on_page, Access.PUBLIC),
        ]

    async def _list_messages(self, call: Call[NoBody, SmsQuery]) -> Success:
        messages = await self._inbox.messages(canonical(call.query.phone))
        return Success({"messages": [{**message, "sentAt": iso(message["sentAt"])} for message in messages]})

    async def _pay(self, call: Call[PayBody, NoQuery]) -> Success:
        trade, notified = await self._cashier.pay(call.body.orderId)
        return Success({"orderId": trade.order_id, "state": trade.state.value, "notified": notified})

    async def _show_page(self, call: Call[NoBody, NoQuery]) -> web.Response:
        trade = await self._cashier.find(call.path("orderId"))
        if trade is None:
            raise OrderNotFound
        page = _render_page(trade, call.english)
        headers = {"Content-Security-Policy": _CONTENT_POLICY}
        return web.Response(text=page, content_type="text/html", charset="utf-8", headers=headers)

    async def _pay_on_page(self, call: Call[NoBody, NoQuery]) -> web.Response:
        """Pay (the page's button) and redirect to the page."""
        trade, _ = await self._cashier.pay(call.path("orderId"))
        return web.Response(status=303, headers={"Location": f"/sandbox/cashier/{trade.order_id}"})


def _render_page(trade: Trade, english: bool) -> str:
    return _PAGE_TEMPLATE.substitute(
        language="en" if english else "zh-CN",
        title=_TITLE.render(english),
        note=_NOTE.render(english),
        pay=_PAY.render(english),
        state=_STATES[trade.state].render(english),
        state_key=trade.state.value,
        hidden="" if trade.state is PaymentState.UNPAID else "hidden",
        channel=_CHANNELS[trade.channel].render(english),
        subject=html.escape(trade.subject),
        order=html.escape(trade.order_id),
        amount=f"{trade.amount / 100:.2f}",
    )
