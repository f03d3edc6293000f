"""Looking for look-ahead: does anything that is known by some moment change when the future does?"""
