"""How a strategy is called: which callback, when, with what; and that it can change nothing by what it was handed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from worlds import DAYS, Slices, bars, closes, rows, run_on, same_tables, script

from ml4t_backtest import BacktestEngine, BacktestResult, MarketEvent, PolarsDataFeed, Strategy, StrategyError
from ml4t_backtest.strategy.base import callback_mode

WORLD = {"A": [10, 11, 12, 13], "B": [20, 21, None, 23]}


def feed(**options: Any) -> PolarsDataFeed:
    return PolarsDataFeed(bars(WORLD), bar_label="session", **options)


def nothing(*_: Any) -> None:
    pass


# Detection


class Batch(Strategy):
    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        pass


class PerSymbol(Strategy):
    def on_market_data(self, event: MarketEvent) -> None:
        pass


class Neither(Strategy):
    pass


class Both(Batch, PerSymbol):
    pass


class StaticBatch(Strategy):
    @staticmethod
    def on_timestamp_batch(timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        pass


class StaticPerSymbol(Strategy):
    @staticmethod
    def on_market_data(event: MarketEvent) -> None:
        pass


class ClassMethodPerSymbol(Strategy):
    @classmethod
    def on_market_data(cls, event: MarketEvent) -> None:
        pass


class LambdaOfClass(Strategy):
    on_market_data = lambda self, event: None  # noqa: E731


class LambdaOfInstance(Strategy):
    def __init__(self) -> None:
        self.on_market_data = lambda event: None


class BatchOfInstance(Strategy):
    def __init__(self) -> None:
        self.on_timestamp_batch = nothing


class Mixin:
    def on_market_data(self, event: MarketEvent) -> None:
        pass


class FromMixin(Mixin, Strategy):
    pass


class Inherited(Batch):
    pass


class BothOneOfInstance(Batch):
    def __init__(self) -> None:
        self.on_market_data = nothing


@pytest.mark.parametrize(
    ("strategy", "mode"),
    [
        (Batch, "batch"),
        (Inherited, "batch"),
        (StaticBatch, "batch"),
        (BatchOfInstance, "batch"),
        (PerSymbol, "symbol"),
        (StaticPerSymbol, "symbol"),
        (ClassMethodPerSymbol, "symbol"),
        (LambdaOfClass, "symbol"),
        (LambdaOfInstance, "symbol"),
        (FromMixin, "symbol"),
    ],
)
def test_callback_is_recognised_however_it_is_overridden(strategy: type[Strategy], mode: str) -> None:
    assert callback_mode(strategy()) == mode
    assert run_on(feed(), strategy()).portfolio_states.height == 4


@pytest.mark.parametrize(("strategy", "what"), [(Neither, "neither"), (Both, "both"), (BothOneOfInstance, "both")])
def test_neither_or_both_callbacks_are_refused_when_the_engine_is_built(strategy: type[Strategy], what: str) -> None:
    with pytest.raises(StrategyError, match=f"{strategy.__name__} overrides {what}"):
        BacktestEngine(feed(), strategy())


# Calls


class Recorder(Strategy):
    """Writes down every call; in batch mode with the rows, in symbol mode with the event."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def on_start(self) -> None:
        self.calls.append("start")

    def on_end(self) -> None:
        self.calls.append("end")

    def on_warm_up(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        self.calls.append(("warm up", timestamp))


class BatchRecorder(Recorder):
    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        self.calls.append((timestamp, asset_batch["symbol"].to_list(), asset_batch["close"].to_list()))


class EventRecorder(Recorder):
    def on_market_data(self, event: MarketEvent) -> None:
        self.calls.append((event.timestamp, event.symbol, event.close))


@pytest.mark.parametrize("chunk", [1, 3, "1mo"])
def test_batch_is_called_once_per_slice_between_start_and_end(chunk: str | int) -> None:
    strategy = BatchRecorder()
    run_on(feed(chunk=chunk), strategy)
    assert strategy.calls == [
        "start",
        (closes(0), ["A", "B"], [10.0, 20.0]),
        (closes(1), ["A", "B"], [11.0, 21.0]),
        (closes(2), ["A"], [12.0]),
        (closes(3), ["A", "B"], [13.0, 23.0]),
        "end",
    ]


@pytest.mark.parametrize("chunk", [1, 3, "1mo"])
def test_event_is_delivered_once_per_bar_in_symbol_order(chunk: str | int) -> None:
    strategy = EventRecorder()
    run_on(feed(chunk=chunk), strategy)
    assert strategy.calls == [
        "start",
        (closes(0), "A", 10.0),
        (closes(0), "B", 20.0),
        (closes(1), "A", 11.0),
        (closes(1), "B", 21.0),
        (closes(2), "A", 12.0),
        (closes(3), "A", 13.0),
        (closes(3), "B", 23.0),
        "end",
    ]


@pytest.mark.parametrize("start", [DAYS[2], closes(1).replace(hour=22)])
@pytest.mark.parametrize("strategy", [BatchRecorder, EventRecorder])
def test_slices_before_the_start_are_shown_as_warm_up_only(strategy: type[Recorder], start: date) -> None:
    recorder = strategy()
    run_on(feed(start=start, warm_up_days=10), recorder)
    assert recorder.calls[:3] == ["start", ("warm up", closes(0)), ("warm up", closes(1))]
    assert recorder.calls[3][0] == closes(2)
    assert len([call for call in recorder.calls if call[0] == "warm up"]) == 2


def test_warm_up_is_as_long_as_asked_for() -> None:
    recorder = BatchRecorder()
    # One calendar day before the open of DAYS[2] (the 4th) is the open of the 3rd.
    run_on(feed(start=DAYS[2], warm_up_days=1), recorder)
    assert recorder.calls[:2] == ["start", ("warm up", closes(1))]


def test_signal_from_before_the_start_is_seen_at_the_first_decision() -> None:
    seen: list[Any] = []

    class Look(Strategy):
        def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
            seen.append(asset_batch["score"].to_list())

    signals = pl.DataFrame({"timestamp": [DAYS[0]], "symbol": ["A"], "score": [0.7]})
    known = {"signals_data": signals, "signal_columns": ["score"], "signal_available_at": "market_close"}
    run_on(feed(start=DAYS[3], **known), Look())
    assert seen == [[0.7, None]]


class OrdersInWarmUp(Batch):
    def on_warm_up(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        if timestamp == closes(1):
            self.buy("A", 1)


def test_order_in_the_warm_up_is_an_error_that_tells_the_time() -> None:
    with pytest.raises(StrategyError, match=r"OrdersInWarmUp.*2024-01-03 21:00"):
        run_on(feed(start=DAYS[2], warm_up_days=10), OrdersInWarmUp())


def test_marks_of_the_warm_up_count_for_the_first_decision() -> None:
    # B has no bar in slice 2; its last close is 21 of the warm-up: 50 % of 1,000 are 23 shares.
    result = run_on(feed(start=DAYS[2], warm_up_days=10), script({0: lambda s: s.buy("B", percent=0.5)}))
    assert result.orders["quantity"].to_list() == [23.0]


def test_data_before_1970_are_traded_like_any_other() -> None:
    days = [date(1969, 12, 1), date(1969, 12, 2), date(1969, 12, 3)]
    old = PolarsDataFeed(bars({"A": [10, 11, 12]}, days), bar_label="session")
    result = run_on(old, script({0: lambda s: s.buy("A", 1)}))
    assert result.portfolio_states.height == 3
    assert result.fills["price"].to_list() == [11.0]


# What is handed over


def context_feed() -> PolarsDataFeed:
    frame = bars(WORLD).with_columns(score=pl.col("close") / 64, atr=pl.col("close") / 16)
    return PolarsDataFeed(
        frame,
        pl.DataFrame({"timestamp": DAYS[:4], "vix": [20.0, 21.0, None, 23.0]}),
        signal_columns=["score"],
        indicator_columns=["atr"],
        context_columns=["vix"],
        context_available_at="market_close",
        bar_label="session",
    )


def test_event_carries_prices_signals_indicators_and_context() -> None:
    events: list[MarketEvent] = []

    class Keep(Strategy):
        def on_market_data(self, event: MarketEvent) -> None:
            events.append(event)

    run_on(context_feed(), Keep())
    event = events[1]
    assert (event.timestamp, event.symbol) == (closes(0), "B")
    assert dict(event.data) == {"open": 20.0, "high": 20.0, "low": 20.0, "close": 20.0, "volume": 1_000.0}
    assert (event.open, event.high, event.low, event.close, event.volume) == (20.0, 20.0, 20.0, 20.0, 1_000.0)
    assert event.signals["score"] == 20 / 64
    assert dict(event.indicators) == {"atr": 20 / 16}
    assert dict(event.context) == {"vix": 20.0}
    assert dict(events[4].context) == {"vix": None}


def test_iter_events_gives_the_events_of_the_other_mode() -> None:
    delivered: list[MarketEvent] = []
    made: list[MarketEvent] = []

    class Keep(Strategy):
        def on_market_data(self, event: MarketEvent) -> None:
            delivered.append(event)

    class Make(Strategy):
        def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
            made.extend(self.iter_events(asset_batch, context))

    run_on(context_feed(), Keep())
    run_on(context_feed(), Make())
    assert made == delivered
    assert len(made) == 7


class TurnsBySymbol(Strategy):
    """Looks at slices in another way from the second one on."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_market_data(self, event: MarketEvent) -> None:
        self.seen.append(f"first {event.symbol} {event.close:g}")
        self.on_market_data = self.later  # type: ignore[method-assign]

    def later(self, event: MarketEvent) -> None:
        self.seen.append(f"later {event.symbol} {event.close:g}")


class TurnsBySlice(Strategy):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        self.seen.append(f"first {asset_batch['close'].to_list()}")
        self.on_timestamp_batch = self.later  # type: ignore[method-assign]

    def later(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        self.seen.append(f"later {asset_batch['close'].to_list()}")


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_a_callback_that_is_exchanged_counts_from_the_next_slice_on_whatever_the_chunk(chunk: int) -> None:
    by_symbol, by_slice = TurnsBySymbol(), TurnsBySlice()
    run_on(feed(chunk=chunk), by_symbol)
    run_on(feed(chunk=chunk), by_slice)
    later = ["later A 11", "later B 21", "later A 12", "later A 13", "later B 23"]
    assert by_symbol.seen == ["first A 10", "first B 20", *later]
    assert by_slice.seen == ["first [10.0, 20.0]", "later [11.0, 21.0]", "later [12.0]", "later [13.0, 23.0]"]


def test_batch_carries_signals_indicators_and_nothing_later_than_its_slice() -> None:
    seen: list[pl.DataFrame] = []

    class Keep(Strategy):
        def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
            seen.append(asset_batch)

    run_on(context_feed(), Keep())
    assert [batch["timestamp"].unique().to_list() for batch in seen] == [[closes(i)] for i in range(4)]
    assert {"symbol", "open", "high", "low", "close", "volume", "score", "score_is_new", "atr"} <= set(seen[0].columns)
    assert seen[2].select("symbol", "close", "score", "atr").rows() == [("A", 12.0, 12 / 64, 12 / 16)]


def unsorted_feed(*names: str) -> Slices:
    """Return a feed whose rows come in the order of `names`."""
    return Slices(
        [(datetime(2024, 1, day, 21, tzinfo=UTC), rows(dict.fromkeys(names, float(day))), {}) for day in (2, 3, 4)]
    )


def test_rows_of_a_feed_are_delivered_in_symbol_order_however_it_yields_them() -> None:
    strategy = EventRecorder()
    run_on(unsorted_feed("C", "A", "B"), strategy)
    assert [call[1] for call in strategy.calls if isinstance(call, tuple)] == ["A", "B", "C"] * 3


def test_symbol_that_appears_late_is_delivered_in_symbol_order() -> None:
    strategy = BatchRecorder()
    first = (datetime(2024, 1, 2, 21, tzinfo=UTC), rows({"B": 2.0}), {})
    run_on(Slices([first, *unsorted_feed("B", "A").triples[1:]]), strategy)
    assert [call[1] for call in strategy.calls if isinstance(call, tuple)] == [["B"], ["A", "B"], ["A", "B"]]


class BuysAll(Strategy):
    def on_market_data(self, event: MarketEvent) -> None:
        self.buy(event.symbol, 100)


def test_row_order_of_a_feed_does_not_decide_who_gets_the_cash() -> None:
    # 1,000 buy 100 shares at 3 three times, and at 4 not once more.
    forward, backward = run_on(unsorted_feed("A", "B", "C"), BuysAll()), run_on(unsorted_feed("C", "B", "A"), BuysAll())
    assert forward.fills["symbol"].to_list() == ["A", "B", "C"]
    assert same_tables(forward, backward)


# Mutation


def tries(*meddlings: Callable[[], Any]) -> None:
    """Do what may be refused, but must have no effect either way."""
    for meddle in meddlings:
        with contextlib.suppress(TypeError, AttributeError, ValueError):
            meddle()


class Reference(Strategy):
    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        self.buy("A", 1)


class MutatesBatch(Reference):
    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        columns = asset_batch.columns
        tries(
            lambda: asset_batch["open"].scatter(0, 55.0),
            lambda: asset_batch["open"].to_numpy().__setitem__(0, 55.0),
            lambda: asset_batch.__setitem__((0, "close"), 99.0),
            lambda: asset_batch.__setitem__((0, "score"), 99.0),
            lambda: asset_batch.replace_column(columns.index("low"), pl.Series("low", [7.0] * asset_batch.height)),
            lambda: asset_batch.drop_in_place("symbol"),
        )
        super().on_timestamp_batch(timestamp, asset_batch, context)


class MutatesContext(Reference):
    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        tries(lambda: context.__setitem__("vix", 99.0), lambda: context.clear(), lambda: context.update(more=1.0))
        super().on_timestamp_batch(timestamp, asset_batch, context)


class MutatesEvent(Strategy):
    def on_market_data(self, event: MarketEvent) -> None:
        tries(
            *(
                lambda values=values, name=name: values.__setitem__(name, 99.0)
                for values in (event.data, event.signals, event.indicators, event.context)
                for name in ("open", "close", "score", "atr", "vix")
            ),
            lambda: event.context.clear(),
            lambda: setattr(event, "symbol", "B"),
        )
        if event.symbol == "A":
            self.buy("A", 1)


@pytest.mark.parametrize("strategy", [MutatesBatch, MutatesContext, MutatesEvent])
def test_changing_what_was_handed_over_changes_nothing(strategy: type[Strategy]) -> None:
    expected = run_on(context_feed(), Reference())
    found = run_on(context_feed(), strategy())
    assert same_tables(expected, found)
    assert found.portfolio_states["vix"].to_list() == [20.0, 21.0, None, 23.0]


def test_one_event_cannot_change_the_context_of_the_next() -> None:
    seen: list[Any] = []

    class Meddle(Strategy):
        def on_market_data(self, event: MarketEvent) -> None:
            seen.append(event.context.get("vix"))
            tries(lambda: event.context.__setitem__("vix", 99.0))

    run_on(context_feed(), Meddle())
    assert seen == [20.0, 20.0, 21.0, 21.0, None, 23.0, 23.0]


def test_what_a_strategy_does_to_its_own_feed_frame_afterwards_has_no_effect() -> None:
    frame = bars(WORLD)

    class Meddle(Strategy):
        def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
            frame[0, "open"] = 99.0
            self.buy("A", 1)

    found: BacktestResult = run_on(PolarsDataFeed(frame, bar_label="session"), Meddle())
    assert found.fills["price"].to_list() == [11.0, 12.0, 13.0]
