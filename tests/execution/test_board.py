"""The board, with a clock by hand."""

from dtcbench.execution.board import Board, Sign


class Hand:
    now = 100.0

    def __call__(self):
        return self.now


def test_an_attempt_is_silent_since_its_last_sign_and_gone_once_forgotten():
    hand = Hand()
    board = Board(hand)
    assert board.signs() == {}
    board.beat("a", "node-1")
    hand.now += 3
    board.beat("b", "node-2")
    hand.now += 2
    assert board.signs() == {"a": Sign("node-1", 5), "b": Sign("node-2", 2)}
    board.beat("a", "node-1")
    assert board.signs()["a"].silent_s == 0
    board.forget("a")
    board.forget("never seen")
    assert set(board.signs()) == {"b"}
