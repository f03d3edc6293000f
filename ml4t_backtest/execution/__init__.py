"""From order requests to fills and trades: order entry, costs, the broker and the trade tracker."""
