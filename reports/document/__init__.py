"""The pages: the audit report (`build`) and the comparison (`comparison`). Import them where they are needed."""
