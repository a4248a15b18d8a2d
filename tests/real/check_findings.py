"""Judges findings by what others publish of their formats.

    check_findings.py ASFF OCSF

The AWS SDK's model of Security Hub judges ASFF: the findings are the parameters of BatchImportFindings, so a field that it
doesn't know, a missing one or one of another type is an error, and so are values outside its enumerations and patterns.
py-ocsf-models judges OCSF, and none of the attributes written may be unknown to it.
"""

import json
import re
import sys

import botocore.loaders
import botocore.model
import botocore.validate
from py_ocsf_models.events.findings.compliance_finding import ComplianceFinding


def asff(path):
    with open(path) as file:
        findings = json.load(file)
    model = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("securityhub", "service-2"))
    shape = model.operation_model("BatchImportFindings").input_shape
    for start in range(0, len(findings), 100):
        parameters = {"Findings": findings[start : start + 100]}
        report = botocore.validate.ParamValidator().validate(parameters, shape)
        assert not report.has_errors(), report.generate_report()
        for finding in parameters["Findings"]:
            closed_sets(finding, shape.members["Findings"].member, "Finding")
    return len(findings)


def closed_sets(value, shape, where):
    """What ParamValidator leaves unchecked: unknown members, enumerations and patterns."""
    if shape.type_name == "structure":
        for name, member in value.items():
            assert name in shape.members, f"{where}.{name} is unknown"
            closed_sets(member, shape.members[name], f"{where}.{name}")
    elif shape.type_name == "list":
        for member in value:
            closed_sets(member, shape.member, where)
    elif shape.type_name == "map":
        for name, member in value.items():
            closed_sets(name, shape.key, f"{where}.{name}")
            closed_sets(member, shape.value, f"{where}.{name}")
    elif shape.type_name == "string":
        assert not shape.enum or value in shape.enum, f"{where} is {value}, allowed are {shape.enum}"
        pattern = shape.metadata.get("pattern")
        assert not pattern or re.search(pattern, value), f"{where} is {value!r}, which is not like {pattern}"


def ocsf(path):
    with open(path) as file:
        findings = json.load(file)
    for finding in findings:
        known = ComplianceFinding(**finding).model_dump(mode="json", exclude_none=True)
        for name in finding.keys() - known.keys():
            # The profile `cloud` and the class's own fields that the models leave out.
            assert name in {"cloud"}, f"{name} is unknown"
    return len(findings)


print(asff(sys.argv[1]), ocsf(sys.argv[2]))
