"""Reports: one HTML file without a network, of sections with texts, tables and pictures; needs the extra `report`."""

from oddrow.report.page import Page, PageTable, Picture, Section, check_packages, render

__all__ = ["Page", "PageTable", "Picture", "Section", "check_packages", "render"]
