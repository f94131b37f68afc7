"""errors.py: a message for people and what a program needs to decide."""

from unstill import errors


def every_class(root: type[errors.UnstillError] = errors.UnstillError) -> list[type[errors.UnstillError]]:
    return [root, *(below for child in root.__subclasses__() for below in every_class(child))]


def test_hint_stands_on_a_line_of_its_own():
    assert str(errors.MachineError("It does not fit", hint="--dtype fp16")) == "It does not fit\nhint: --dtype fp16"


def test_a_request_error_lists_every_problem():
    error = errors.RequestError(["motion is wrong", "fps is wrong"])
    assert error.message == "motion is wrong\nfps is wrong"
    assert error.to_dict()["problems"] == ["motion is wrong", "fps is wrong"]


def test_codes_are_unique():
    codes = [cls.code for cls in every_class()]
    assert len(set(codes)) == len(codes)


def test_the_docstring_draws_every_class():
    drawn = errors.__doc__ or ""
    assert [cls.__name__ for cls in every_class() if cls.__name__ not in drawn] == []


def test_exit_codes_in_the_docstring_are_the_real_ones():
    for line in (errors.__doc__ or "").splitlines():
        name, _, number = line.rpartition("exit ")
        if number.strip().isdigit():
            cls = next(cls for cls in every_class() if f" {cls.__name__} " in f"{name.replace('─', ' ')} ")
            assert cls.exit_code == int(number), cls.__name__
