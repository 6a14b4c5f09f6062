"""How models are tuned, calibrated, judged, compared and explained."""
