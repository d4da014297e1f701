"""HTML reports: one file with text, tables and plots that needs no network. Needs `pip install 'oddrow[report]'`."""

from oddrow.report.page import Page, PageTable, Picture, Section, check_packages, render

__all__ = ["Page", "PageTable", "Picture", "Section", "check_packages", "render"]
