"""A real Chromium opens the page of a server with keys.      python page_key.py URL CHROMIUM CHROMEDRIVER AXE KEY LABEL

It is asked for a key, is told that a wrong one is not known, and with the right one classifies a sample. axe finds no violation while the key is asked
for. Run by tests/conformance."""

import sys

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from browser import PATIENCE, start

URL, CHROMIUM, DRIVER, AXE, KEY, LABEL = sys.argv[1:]

browser = start(CHROMIUM, DRIVER, "--ignore-certificate-errors")


def one(selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def until(what, condition):
    return WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception]).until(lambda _: condition(), f"never: {what}")


def sample():
    browser.execute_script("arguments[0].click()", one("#samples button"))


try:
    browser.get(URL)
    until("it says that a key is needed", lambda: "asks for an API key" in one("#serving").text)
    until("it has room for one", lambda: one("#keys").is_displayed())
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": open(AXE, encoding="utf-8").read()})
    found = browser.execute_async_script("const done = arguments[arguments.length - 1]; axe.run('#keys').then(done)")
    assert not found["violations"], found["violations"]
    sample()
    until("a refusal in words", lambda: "an API key is needed" in one("#error").text)
    one("#key").send_keys("cvn_wrong" + Keys.ENTER)
    sample()
    until("a wrong key is told", lambda: "the API key is not known" in one("#error").text)
    one("#key").send_keys(KEY + Keys.ENTER)
    until("the models are there", lambda: one("#serving").text.startswith("Serving convnext_atto"))
    until("nothing is asked for any more", lambda: not one("#keys").is_displayed())
    sample()
    until("an answer", lambda: LABEL in one("#answers").text)
    assert browser.execute_script("return localStorage.length") == 0, "it is kept in the tab only"
finally:
    browser.quit()
