"""A real Chromium opens /docs.      python docs_page.py URL CHROMIUM CHROMEDRIVER PHOTO

Exits 1 with a traceback where the page does not do what it is for: all operations are there, JSON and an image file are sent from it and answered, nothing is
wider than a phone, and the page's own policy refuses nothing. Run by tests/conformance."""

import json
import sys
import urllib.request

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from browser import PATIENCE, start

URL, CHROMIUM, DRIVER, PHOTO = sys.argv[1:]
browser = start(CHROMIUM, DRIVER)


def one(selector, of=browser):
    return of.find_element(By.CSS_SELECTOR, selector)


def until(what, condition):
    return WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception]).until(lambda _: condition(), f"never: {what}")


def click(element):
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", element)


def answer(operation):
    """Sends what is filled in, and reads what comes back."""
    click(one(".btn.execute", operation))
    told = until("an answer", lambda: one(".live-responses-table .response-col_status", operation).text.split()[0] and one(".live-responses-table", operation))
    status = one(".response-col_status", told.find_element(By.CSS_SELECTOR, "tbody")).text.split()[0]
    return status, one(".highlight-code code, .highlight-code pre", told).text


try:
    document = json.load(urllib.request.urlopen(URL.replace("/docs", "/openapi.json"), timeout=PATIENCE))
    operations = sum(len(item) for item in document["paths"].values())
    assert operations > 50, operations

    browser.get(URL)
    until("all operations", lambda: len(browser.find_elements(By.CSS_SELECTOR, ".opblock")) == operations)
    assert browser.title == "convnext-server: API", browser.title
    assert one("h1.title, h2.title").text.startswith("convnext-server"), one(".info").text

    # JSON, as the document has it for an example
    classify = one("#operations-classify-classify")
    click(one(".opblock-summary-control", classify))
    until("the example", lambda: "inputs" in one("textarea", classify).get_attribute("value"))
    status, text = answer(classify)
    assert status == "200" and "Ankle boot" in text and len(json.loads(text)) == 3, (status, text)

    # an image file
    click(one(".btn-clear", classify))
    Select(one("select[aria-label='Request content type']", classify)).select_by_value("application/octet-stream")
    until("a field for a file", lambda: one("input[type=file]", classify)).send_keys(PHOTO)
    status, text = answer(classify)
    assert status == "200" and "Ankle boot" in text and len(json.loads(text)) == 5, (status, text)

    # a phone, in either theme
    for theme in ("light", "dark"):
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True})
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= 360, f"{theme}: the page is {wide} px wide"
        ground = browser.execute_script("return getComputedStyle(document.documentElement).backgroundColor + getComputedStyle(document.body).backgroundColor")
        assert ("255, 255, 255" in ground or "0, 0, 0, 0" in ground) if theme == "light" else "255, 255, 255" not in ground, (theme, ground)

    # nothing was refused by the page's own policy, and nothing else went wrong
    complaints = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not complaints, complaints
finally:
    browser.quit()
