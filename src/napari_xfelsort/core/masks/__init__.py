"""Bad-pixel masks: robust statistics of values, of images and over time."""
