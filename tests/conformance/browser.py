"""A headless Chromium that keeps what pages complain of, for the scripts beside this one."""

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

# Seconds: longer than anything takes on a busy machine.
PATIENCE = 30


def start(chromium, driver, *more):
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,1400", *more):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.set_page_load_timeout(PATIENCE)
    return browser
