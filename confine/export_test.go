package confine

var LandlockParts = landlockParts
